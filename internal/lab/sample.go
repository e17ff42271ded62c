package lab

// Raced says that the race detector watches this program. It looks for what two
// goroutines do at one time: a test of many stories needs few of them then, one
// for each way through the code. What the kernel does is told by the others.
func Raced() bool { return raced }

// Sample returns the cases of a test: all, or where the race detector watches
// the first few.
func Sample[T any](few int, all []T) []T {
	if raced && few < len(all) {
		return all[:few]
	}
	return all
}
