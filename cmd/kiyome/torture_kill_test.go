//go:build torture

package main_test

func killFaults() []fault { return nil }
