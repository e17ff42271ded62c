// Peer is the program in the images of the container tests: one end of many
// connections.
//
//	peer serve ADDRESS BACKLOG  says "ready", and answers each end with its own
//	peer call ADDRESS COUNT     says "ready"; with each line that it then reads,
//	                            opens COUNT connections and says "open", and at
//	                            the next ends them and says "closed"
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

func main() {
	number, err := strconv.Atoi(os.Args[3])
	try(err)
	if os.Args[1] == "serve" {
		serve(os.Args[2], number)
	}
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for lines.Scan() {
		conns := call(os.Args[2], number)
		fmt.Println("open")
		lines.Scan()
		for _, c := range conns {
			end(c)
		}
		fmt.Println("closed")
	}
}

// serve listens with a backlog, which package net does not allow to choose.
func serve(address string, backlog int) {
	at := netip.MustParseAddrPort(address)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	try(err)
	try(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}))
	try(syscall.Listen(fd, backlog))
	file := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(file)
	try(err)
	try(file.Close()) // l has a descriptor of its own
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		try(err)
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// call opens connections, each of which the server has accepted.
func call(address string, count int) (conns []*net.TCPConn) {
	for range count {
		c, err := net.Dial("tcp4", address)
		try(err)
		_, err = c.Write([]byte("hello"))
		try(err)
		_, err = io.ReadFull(c, make([]byte, 5))
		try(err)
		conns = append(conns, c.(*net.TCPConn))
	}
	return conns
}

// end closes this end first, and waits for the other.
func end(c *net.TCPConn) {
	try(c.CloseWrite())
	_, err := io.Copy(io.Discard, c)
	try(err)
	try(c.Close())
}

func try(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
