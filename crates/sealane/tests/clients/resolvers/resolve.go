// Resolves names with Go's own resolver: a line of addresses for each.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	resolver := &net.Resolver{PreferGo: true}
	for _, name := range os.Args[1:] {
		addresses, err := resolver.LookupHost(context.Background(), name)
		if failure, ok := err.(*net.DNSError); err != nil && !(ok && failure.IsNotFound) {
			addresses = []string{err.Error()}
		}
		fmt.Printf("%s %s\n", name, strings.Join(addresses, " "))
	}
}
