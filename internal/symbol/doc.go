// Package symbol names the functions that addresses in running processes lie in,
// by the symbol table of the file that is mapped there, or by Go's own table of
// functions, which strip leaves in place. Where there is neither, an address is
// named by the file and the place in it.
//
// Files are what somebody made, good or bad, and processes may end at any time:
// then less is known, and nothing worse happens.
package symbol
