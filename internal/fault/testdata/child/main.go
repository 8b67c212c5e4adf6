// Command child passes each of two points three times, and says so.
package main

import (
	"fmt"

	"github.com/writ-dev/writ/internal/fault"
)

func main() {
	for n := range 3 {
		fault.Point("hub", "sign", "before")
		fmt.Print(n)
		fault.Point("hub", "sign", "after")
	}
}
