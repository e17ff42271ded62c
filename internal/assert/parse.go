package assert

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/suggest"
)

// An operator compares.
type operator string

const (
	equal   operator = "="
	unequal operator = "!="
	less    operator = "<"
	atMost  operator = "<="
	more    operator = ">"
	orMore  operator = ">="
)

// opposites has for each operator the one that holds where it does not.
var opposites = map[operator]operator{
	equal: unequal, unequal: equal, less: orMore, orMore: less, more: atMost, atMost: more,
}

// holds reports whether a stands so to b.
func holds[T uint64 | time.Duration](a T, op operator, b T) bool {
	switch op {
	case equal:
		return a == b
	case unequal:
		return a != b
	case less:
		return a < b
	case atMost:
		return a <= b
	case more:
		return a > b
	}
	return a >= b
}

// Parse reads an assertion:
//
//	no WHAT                 there is none: "no resets", "no close-wait-leak"
//	no TIME OP LENGTH       none lasts so: "no CLOSE_WAIT > 5s"
//	WHAT OP NUMBER          "connections >= 100"
//	TIME OP LENGTH          each lasts so: "handshake < 50ms"
//	SUMMARY TIME OP LENGTH  "p99 ESTABLISHED < 2s"
//
// each perhaps with "by NAME", of a process, and "port N" behind it. The error
// says what to write instead.
func Parse(text string) (*Assertion, error) {
	p := parser{words: split(text)}
	a := &Assertion{Text: strings.Join(strings.Fields(text), " ")}
	err := p.assertion(a)
	if err != nil {
		return nil, fmt.Errorf("assertion %q: %w", a.Text, err)
	}
	return a, nil
}

// split cuts a text into words and operators.
func split(text string) (words []string) {
	const operators = "<>=!"
	for _, field := range strings.Fields(text) {
		for field != "" {
			end := strings.IndexAny(field, operators)
			if end == 0 {
				end = len(field) - len(strings.TrimLeft(field, operators))
			}
			if end < 0 {
				end = len(field)
			}
			words = append(words, field[:end])
			field = field[end:]
		}
	}
	return words
}

type parser struct{ words []string }

// next takes the next word, or returns "" behind the last one.
func (p *parser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *parser) peek() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

func (p *parser) assertion(a *Assertion) error {
	no := strings.EqualFold(p.peek(), "no")
	if no {
		p.next()
	}
	if s := find(summaries, p.peek(), func(s *summary) string { return s.name }); s != nil {
		p.next()
		a.summary = s
	}
	subject := p.next()
	switch {
	case subject == "" && no:
		return errors.New(`of what is there to be none? write for example "no resets"`)
	case subject == "":
		return errors.New(`it is empty; write for example "resets = 0" or "no CLOSE_WAIT > 5s"`)
	case no && a.summary != nil:
		return fmt.Errorf(`"no" and %q do not go together; leave out one of them`, a.summary.name)
	}
	op, bare := p.peek(), isScope(p.peek())
	if no && bare {
		return p.none(a, subject)
	}
	if err := p.comparison(a, subject, op); err != nil {
		return err
	}
	if no && a.figure != nil {
		return fmt.Errorf(`"no" is compared with a time; write "%s %s %d", or give %d a unit: %ds`, subject, opposites[a.op], a.number, a.number, a.number)
	}
	if no {
		a.op = opposites[a.op]
	}
	return p.scope(a)
}

// none reads what is behind "no WHAT".
func (p *parser) none(a *Assertion, subject string) (err error) {
	if a.figure, err = findFigure(subject); err != nil {
		return err
	}
	a.op = equal
	return p.scope(a)
}

// comparison reads "WHAT OP NUMBER" or "TIME OP LENGTH", of which the subject
// has been read.
func (p *parser) comparison(a *Assertion, subject, op string) (err error) {
	if err := known(subject); err != nil {
		return err
	}
	p.next()
	if op == "==" {
		op = "="
	}
	a.op = operator(op)
	if opposites[a.op] == "" {
		if isScope(op) {
			return fmt.Errorf(`compare %s with something, as in "%s = 0", or write "no %s"`, subject, subject, subject)
		}
		return fmt.Errorf("%q does not compare; write one of = != < <= > >=", op)
	}
	value := p.next()
	if value == "" {
		return fmt.Errorf("what is %s to be compared with? write a number, or a time such as 5s", subject)
	}
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		a.number = n
		return a.count(subject, value)
	}
	if a.length, err = time.ParseDuration(value); err != nil || a.length < 0 {
		return fmt.Errorf("%q is neither a number nor a time; write for example 0, or 5s, 200ms, 1m30s", value)
	}
	return a.time(subject, value)
}

func (a *Assertion) count(subject, value string) (err error) {
	a.figure, err = findFigure(subject)
	switch {
	case a.summary != nil:
		return fmt.Errorf("%q has no unit; write %ss, or %sms for milliseconds", value, value, value)
	case err != nil && findMeasure(subject) != nil:
		return fmt.Errorf("%q has no unit; %s is a time: write %ss, or %sms for milliseconds", value, subject, value, value)
	}
	return err
}

func (a *Assertion) time(subject, value string) error {
	a.measure = findMeasure(subject)
	switch {
	case a.measure == nil:
		return fmt.Errorf("%s is a number, and %q a time; write a number", subject, value)
	case a.op == equal || a.op == unequal:
		return errors.New("no time is the same to the nanosecond; compare it with < <= > or >=")
	}
	return nil
}

func isScope(word string) bool {
	return word == "" || strings.EqualFold(word, "by") || strings.EqualFold(word, "port")
}

// scope reads "by NAME" and "port N", and that nothing follows.
func (p *parser) scope(a *Assertion) (err error) {
	for word := p.next(); word != ""; word = p.next() {
		value := p.next()
		switch strings.ToLower(word) {
		case "by":
			a.comm, err = filter.ParseComm(value)
		case "port":
			a.port, err = filter.ParsePort(value)
		default:
			return fmt.Errorf(`what is %q behind it? only "by NAME" and "port N" may follow`, word)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
	}
	if a.port != 0 && a.figure != nil && a.figure.finding != nil {
		return errors.New(`a finding has no port; leave out "port", or select connections with --port`)
	}
	return nil
}

// canon makes one of the ways to spell a word: case, and "-" for "_", do not
// matter.
func canon(word string) string { return strings.ToLower(strings.ReplaceAll(word, "-", "_")) }

func find[T any](all []T, word string, name func(*T) string) *T {
	for i := range all {
		if canon(name(&all[i])) == canon(word) {
			return &all[i]
		}
	}
	return nil
}

func findMeasure(word string) *measure {
	return find(measures, word, func(m *measure) string { return m.name })
}

// findFigure also finds the plural of word: "no reset".
func findFigure(word string) (*figure, error) {
	name := func(f *figure) string { return f.name }
	if f := find(allFigures, word, name); f != nil {
		return f, nil
	}
	if f := find(allFigures, word+"s", name); f != nil {
		return f, nil
	}
	if findMeasure(word) != nil {
		return nil, fmt.Errorf(`%s is a time; compare it, as in "no %s > 5s"`, word, word)
	}
	return nil, known(word)
}

// known returns an error that says what there is, unless word is a figure or a
// measure.
func known(word string) error {
	var names []string
	for i := range allFigures {
		names = append(names, allFigures[i].name)
	}
	for i := range measures {
		names = append(names, measures[i].name)
	}
	for _, name := range names {
		if canon(name) == canon(word) || canon(name) == canon(word+"s") {
			return nil
		}
	}
	if meant := suggest.Closest(word, names); meant != "" {
		return fmt.Errorf("%q is not known; did you mean %s?", word, meant)
	}
	return fmt.Errorf("%q is not known; write a state such as CLOSE_WAIT, a rule of \"why\", or one of %s",
		word, strings.Join(own(), ", "))
}

// own lists the words that are neither a state, a class nor a rule.
func own() (names []string) {
	for i := range figures {
		names = append(names, figures[i].name)
	}
	for i := range measures {
		if !measures[i].state.Valid() {
			names = append(names, measures[i].name)
		}
	}
	return names
}
