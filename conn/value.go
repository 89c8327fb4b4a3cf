package conn

// WithValue has no effect here: it is how a package that builds on this one has an
// option of its own beside those. Value finds it.
func WithValue(key, value any) Option {
	return func(o *options) {
		if o.values == nil {
			o.values = make(map[any]any)
		}
		o.values[key] = value
	}
}

// Value returns what the last WithValue of opts for key has; nil: there is none.
func Value(key any, opts ...Option) any {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o.values[key]
}
