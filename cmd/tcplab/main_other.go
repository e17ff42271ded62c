//go:build !linux

// Command tcplab makes real TCP traffic in Linux network namespaces.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "tcplab: needs Linux")
	os.Exit(1)
}
