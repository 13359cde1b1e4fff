//go:build torture

package main_test

func accountFaults() []fault { return nil }
