//go:build torture

package main_test

func workerFaults() []fault { return nil }
