package conn

// listeners counts the listeners of each port. A connection first known in the
// middle of its life is a server's if its local port is listened on: the
// kernel gives such a port to no client that does not ask for it by name
// (__inet_hash_connect).
type listeners map[listenPort]int

type listenPort struct {
	netns uint32
	port  uint16
}

// add counts a listener whose port is known, or with -1 takes it off.
func (l listeners) add(r *record, n int) {
	port := listenPort{r.ID.NetNS, r.Local.Port()}
	if l[port] += n; l[port] == 0 {
		delete(l, port)
	}
}

// have reports whether r's local port is listened on.
func (l listeners) have(r *record) bool {
	return l[listenPort{r.ID.NetNS, r.Local.Port()}] > 0
}
