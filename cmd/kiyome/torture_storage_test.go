//go:build torture

package main_test

func storageFaults() []fault { return nil }
