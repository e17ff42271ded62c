package probe

// A Stack is where in its own code a process was in a system call.
type Stack struct {
	Call   string   // connect, accept, or read where accept() was not seen
	PID    uint32   // thread group id
	Frames []uint64 // return addresses, innermost first, by frame pointers; 48 at most
}
