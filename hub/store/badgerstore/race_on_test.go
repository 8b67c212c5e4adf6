//go:build race

package badgerstore_test

const raced = true // memory under the race detector says nothing
