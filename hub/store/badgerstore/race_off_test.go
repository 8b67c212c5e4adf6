//go:build !race

package badgerstore_test

const raced = false
