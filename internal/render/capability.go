package render

// A Capability is one row of doctor's table: what tcptrace can tell, how well
// this host serves it ("exact", "bounded", "absent") and by which hook.
type Capability struct {
	Name, Grade, Hook string
	Lost, Why, Remedy string // "" where there is nothing to say
}

var gradeColors = map[string]string{"exact": "32", "bounded": "33", "absent": "31"}

// AppendCapabilities appends doctor's table: a line for each capability, and
// below it what is lost, why, and what to do.
func AppendCapabilities(b []byte, rows []Capability, color bool) []byte {
	l := line{b: b, color: color}
	l.cell()
	name, grade := len("CAPABILITY"), len("bounded")
	for _, r := range rows {
		name = max(name, len(r.Name))
	}
	l.text("CAPABILITY")
	l.pad(name + 1)
	l.text("GRADE")
	l.pad(grade + 1)
	l.text("HOOK\n")
	for _, r := range rows {
		l.cell()
		l.text(r.Name)
		l.pad(name + 1)
		l.paint(gradeColors[r.Grade], r.Grade)
		l.pad(grade + 1)
		l.text(orDash(r.Hook))
		l.text("\n")
		l.remark("lost", r.Lost)
		l.remark("why", r.Why)
		l.remark("remedy", r.Remedy)
	}
	return l.b
}

func (l *line) remark(label, text string) {
	if text == "" {
		return
	}
	l.text("    ")
	l.text(label)
	l.text(": ")
	l.text(text)
	l.text("\n")
}
