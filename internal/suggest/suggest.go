// Package suggest finds what somebody meant to type.
package suggest

import "strings"

// Closest returns the candidate that differs least from word, without regard
// to case, or "" where none is close: a third of the word's letters may be
// wrong, and one at least. A candidate that begins with word is close too.
func Closest(word string, candidates []string) string {
	word = strings.ToLower(word)
	best, least := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		low := strings.ToLower(c)
		d := distance(word, low)
		if len(word) >= 2 && strings.HasPrefix(low, word) {
			d = 0
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the Damerau-Levenshtein distance in bytes: insertions,
// deletions, replacements and swaps of neighbours.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(last[j]+cost, last[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last = last, next
	}
	return last[len(b)]
}
