package manual

import (
	"fmt"
	"io"
	"strings"
)

// Bash writes completions for bash.
func (p *Program) Bash(w io.Writer) {
	fn := "_" + p.Name
	fmt.Fprintf(w, "# bash completion for %s\n\n%s() {\n", p.Name, fn)
	io.WriteString(w, `  local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
  # An equals sign is a word of its own.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $flag == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD-2]}
  fi
  COMPREPLY=()
  case $flag in
`)
	for _, f := range p.flags() {
		if f.Bool {
			continue
		}
		fmt.Fprintf(w, "  --%s) %s; return ;;\n", f.Name, bashValue(&f.Value))
	}
	io.WriteString(w, "  esac\n  case $command in\n")
	for i := len(p.Commands) - 1; i >= 0; i-- {
		c := &p.Commands[i]
		name := c.Name
		if i == 0 {
			name = "*"
		}
		fmt.Fprintf(w, "  %s)\n", name)
		fmt.Fprintf(w, "    if [[ $cur == -* ]]; then\n      COMPREPLY=($(compgen -W %s -- \"$cur\"))\n      [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace 2>/dev/null\n      return\n    fi\n", quote(bashFlags(c)))
		for _, a := range c.Arguments {
			fmt.Fprintf(w, "    %s\n", bashValue(&a))
		}
		if i == 0 {
			fmt.Fprintf(w, "    ((COMP_CWORD == 1)) && COMPREPLY+=($(compgen -W %s -- \"$cur\"))\n", quote(p.commandNames()))
		}
		io.WriteString(w, "    ;;\n")
	}
	fmt.Fprintf(w, "  esac\n}\ncomplete -F %s %s\n", fn, p.Name)
}

func bashFlags(c *Command) string {
	var words []string
	for _, f := range c.Flags {
		for _, o := range f.options() {
			if !f.Bool {
				o += "="
			}
			words = append(words, o)
		}
	}
	return strings.Join(words, " ")
}

func bashValue(v *Value) string {
	switch {
	case len(v.Choices) > 0:
		return fmt.Sprintf(`COMPREPLY=($(compgen -W %s -- "$cur"))`, quote(strings.Join(v.Choices, " ")))
	case v.Kind == File:
		return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur")`
	case v.Kind == Directory:
		return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur")`
	}
	return ":"
}

// flags are those of all commands, each once.
func (p *Program) flags() (all []Flag) {
	seen := map[string]bool{}
	for _, c := range p.Commands {
		for _, f := range c.Flags {
			if !seen[f.Name] {
				seen[f.Name] = true
				all = append(all, f)
			}
		}
	}
	return all
}

func (p *Program) commandNames() string {
	var names []string
	for _, c := range p.Commands {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// quote is s as one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
