package manual

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Man writes the man page, for section 1. sections come behind those that are made of the
// flags: each is a title and paragraphs.
func (p *Program) Man(w io.Writer, sections [][]string) {
	fmt.Fprintf(w, ".TH %s 1 \"\" \"%s\"\n", strings.ToUpper(p.Name), roff(p.Version))
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n", p.Name, roff(strings.ToLower(first(p.About)[:1])+first(p.About)[1:]))
	for i, c := range p.Commands {
		fmt.Fprintf(w, ".B %s", p.Name)
		if i > 0 {
			fmt.Fprintf(w, " %s", c.Name)
		}
		io.WriteString(w, "\n")
		if len(c.Flags) > len(p.common()) {
			io.WriteString(w, "[\\fIflags\\fR]\n")
		}
		for _, a := range c.Arguments {
			if a.Name == "root" {
				fmt.Fprintf(w, "[\\fI%s\\fR]\n", a.Placeholder)
			} else {
				fmt.Fprintf(w, "\\fI%s\\fR\n", strings.Join(a.Choices, "\\fR|\\fI"))
			}
		}
		if i < len(p.Commands)-1 {
			io.WriteString(w, ".br\n")
		}
	}
	fmt.Fprintf(w, ".SH DESCRIPTION\n%s\n.SH COMMANDS\n", roff(p.About))
	for _, c := range p.Commands {
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", c.Name, roff(c.Help))
	}
	io.WriteString(w, ".SH OPTIONS\n")
	group := ""
	for _, f := range p.Commands[0].Flags {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(w, ".SS %s\n", roff(group))
		}
		io.WriteString(w, ".TP\n")
		var ways []string
		for _, o := range f.options() {
			way := `\fB` + roff(o) + `\fR`
			if !f.Bool {
				way += `=\fI` + roff(f.Placeholder) + `\fR`
			}
			ways = append(ways, way)
		}
		fmt.Fprintf(w, "%s\n%s", strings.Join(ways, ", "), roff(f.Help))
		if f.Env != "" {
			fmt.Fprintf(w, "\nEnvironment: \\fB%s\\fR.", roff(f.Env))
		}
		io.WriteString(w, "\n")
	}
	for _, s := range sections {
		fmt.Fprintf(w, ".SH %s\n", roff(s[0]))
		for i, text := range s[1:] {
			if i > 0 {
				io.WriteString(w, ".PP\n")
			}
			fmt.Fprintf(w, "%s\n", roff(text))
		}
	}
}

var roffEscape = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ", `"`, `\(dq`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`)

// roff is text that means itself, in lines of which none is long.
func roff(text string) string {
	const longest = 78
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(roffEscape.Replace(text)) {
		if strings.HasPrefix(word, ".") {
			word = `\&` + word
		}
		switch {
		case n == 0:
		case n+1+len(word) > longest:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}

// common are the names of the flags that all commands have.
func (p *Program) common() (names []string) {
	for _, f := range p.Commands[0].Flags {
		everywhere := true
		for _, c := range p.Commands {
			everywhere = everywhere && slices.ContainsFunc(c.Flags, func(g Flag) bool { return g.Name == f.Name })
		}
		if everywhere {
			names = append(names, f.Name)
		}
	}
	return names
}
