//go:build linux

package lab

func timeWaitStories() []Story { return nil }

func handshakeStories() []Story { return nil }
