//go:build torture

package main_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"
)

func peerFaults() []fault { return nil }

// nil0 asks whether a process is there.
const nil0 = syscall.Signal(0)

// crowd is many connections that say nothing.
type crowd []net.Conn

func dialMany(t *testing.T, port, n int) crowd {
	t.Helper()
	var all crowd
	for range n {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func (all crowd) close() {
	for _, c := range all {
		c.Close()
	}
}
