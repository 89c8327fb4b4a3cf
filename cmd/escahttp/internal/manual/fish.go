package manual

import (
	"fmt"
	"io"
	"strings"
)

// Fish writes completions for fish.
func (p *Program) Fish(w io.Writer) {
	fmt.Fprintf(w, "# fish completion for %s\n\ncomplete -c %s -f\n", p.Name, p.Name)
	for _, c := range p.Commands {
		fmt.Fprintf(w, "complete -c %s -n __fish_use_subcommand -a %s -d %s\n", p.Name, c.Name, fishQuote(first(c.Help)))
	}
	var others []string
	for _, c := range p.Commands[1:] {
		others = append(others, c.Name)
	}
	for i := range p.Commands {
		c := &p.Commands[i]
		when := "__fish_seen_subcommand_from " + c.Name
		if i == 0 {
			when = "not __fish_seen_subcommand_from " + strings.Join(others, " ")
		}
		for _, f := range c.Flags {
			for _, o := range f.options() {
				line := fmt.Sprintf("complete -c %s -n %s -l %s", p.Name, fishQuote(when), o[2:])
				if !f.Bool {
					line += fishValue(&f.Value)
				}
				fmt.Fprintf(w, "%s -d %s\n", line, fishQuote(first(f.Help)))
			}
		}
		for _, a := range c.Arguments {
			fmt.Fprintf(w, "complete -c %s -n %s%s\n", p.Name, fishQuote(when), strings.TrimPrefix(fishValue(&a), " -x"))
		}
	}
}

func fishValue(v *Value) string {
	switch {
	case len(v.Choices) > 0:
		return " -x -a " + fishQuote(strings.Join(v.Choices, " "))
	case v.Kind == File:
		return " -r -F"
	case v.Kind == Directory:
		return " -x -a '(__fish_complete_directories)'"
	}
	return " -x"
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
