//go:build torture

package main_test

func peerFaults() []fault { return nil }
