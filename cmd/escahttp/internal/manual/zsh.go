package manual

import (
	"fmt"
	"io"
	"strings"
)

// Zsh writes completions for zsh.
func (p *Program) Zsh(w io.Writer) {
	fmt.Fprintf(w, "#compdef %s\n\n_%s() {\n  local -a commands=(\n", p.Name, p.Name)
	for _, c := range p.Commands {
		fmt.Fprintf(w, "    %s\n", quote(c.Name+":"+first(c.Help)))
	}
	io.WriteString(w, "  )\n  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n    _describe command commands\n    _files -/\n    return\n  fi\n  case $words[2] in\n")
	for i := len(p.Commands) - 1; i >= 0; i-- {
		c := &p.Commands[i]
		if i == 0 {
			io.WriteString(w, "  *)\n    [[ $words[2] == "+c.Name+" ]] && { shift words; (( CURRENT-- )) }\n")
		} else {
			fmt.Fprintf(w, "  %s)\n    shift words; (( CURRENT-- ))\n", c.Name)
		}
		io.WriteString(w, "    _arguments -s -S")
		for _, f := range c.Flags {
			for _, o := range f.options() {
				fmt.Fprintf(w, " \\\n      %s", quote(zshFlag(&f, o)))
			}
		}
		for _, a := range c.Arguments {
			fmt.Fprintf(w, " \\\n      %s", quote("1:"+zshText(a.Name)+":"+zshAction(&a)))
		}
		io.WriteString(w, "\n    ;;\n")
	}
	fmt.Fprintf(w, "  esac\n}\n\nif [[ $funcstack[1] == _%[1]s ]]; then\n  _%[1]s \"$@\"\nelse\n  compdef _%[1]s %[1]s\nfi\n", p.Name)
}

func zshFlag(f *Flag, option string) string {
	spec := option
	if !f.Bool {
		spec += "="
	}
	if f.Repeated {
		spec = "*" + spec
	}
	spec += "[" + zshText(first(f.Help)) + "]"
	if !f.Bool {
		spec += ":" + zshText(strings.ToLower(f.Placeholder)) + ":" + zshAction(&f.Value)
	}
	return spec
}

func zshAction(v *Value) string {
	switch {
	case len(v.Choices) > 0:
		return "(" + strings.Join(v.Choices, " ") + ")"
	case v.Kind == File:
		return "_files"
	case v.Kind == Directory:
		return "_files -/"
	}
	return " "
}

var zshEscape = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`, "\n", " ")

func zshText(s string) string { return zshEscape.Replace(s) }
