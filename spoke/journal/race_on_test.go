//go:build race

package journal_test

const raced = true // memory under the race detector says nothing
