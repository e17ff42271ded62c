//go:build !linux

package main

import "os"

func quitOnKey(*os.File) (restore func()) { return func() {} }
