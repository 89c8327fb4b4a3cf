// Package manual says in other forms what a program's flags are: as a man page, and as
// completions for bash, zsh and fish. All of it is made of the flags themselves.
package manual

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Program is what is described.
type Program struct {
	Name, Version string
	About         string
	Commands      []Command // the first is the one that needs not be named
}

// Command is one command of a program.
type Command struct {
	Name, Help string
	Arguments  []Value
	Flags      []Flag
}

// Flag is a flag of a command.
type Flag struct {
	Value
	Group    string
	Env      string
	Bool     bool // it needs no value
	Negated  bool // there is --no-NAME, too
	Repeated bool
}

// Value is what a flag or an argument takes.
type Value struct {
	Name, Help  string
	Placeholder string
	Choices     []string // all that it can be; empty: anything
	Kind        Kind
}

// Kind is what completion offers for a value.
type Kind int

// Kinds of values.
const (
	Text Kind = iota
	File
	Directory
)

// Describe describes app. more are choices of values by name, beside those that app says.
func Describe(app *kong.Application, version string, more map[string][]string) *Program {
	p := &Program{Name: app.Name, Version: version, About: app.Help}
	for _, n := range app.Leaves(true) {
		c := Command{Name: n.Name, Help: n.Help}
		for _, a := range n.Positional {
			v := value(a, more)
			v.Placeholder = strings.ToUpper(a.Name)
			if v.Name == "root" {
				v.Kind = Directory
			}
			c.Arguments = append(c.Arguments, v)
		}
		for _, level := range n.AllFlags(true) {
			for _, f := range level {
				c.Flags = append(c.Flags, flag(f, more))
			}
		}
		p.Commands = append(p.Commands, c)
	}
	slices.SortStableFunc(p.Commands, func(a, b Command) int { return len(b.Flags) - len(a.Flags) })
	return p
}

func flag(f *kong.Flag, more map[string][]string) Flag {
	g := Flag{Value: value(f.Value, more), Bool: f.IsBool(), Negated: f.Tag.Negatable != "", Repeated: strings.Contains(f.Help, "repeated")}
	g.Placeholder = f.FormatPlaceHolder()
	if f.Group != nil {
		g.Group = f.Group.Key
	}
	if len(f.Envs) > 0 {
		g.Env = f.Envs[0]
	}
	if f.PlaceHolder == "FILE" {
		g.Kind = File
	}
	return g
}

func value(v *kong.Value, more map[string][]string) Value {
	g := Value{Name: v.Name, Help: v.Help, Choices: more[v.Name]}
	if v.Enum != "" {
		g.Choices = v.EnumSlice()
	}
	return g
}

// options are the ways to write a flag.
func (f *Flag) options() []string {
	names := []string{"--" + f.Name}
	if f.Negated {
		names = append(names, "--no-"+f.Name)
	}
	return names
}

// first is the first sentence of text, for where there is one line.
func first(text string) string {
	if i := strings.Index(text, ". "); i > 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(text, ".")
}
