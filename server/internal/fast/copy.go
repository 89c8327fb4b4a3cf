package fast

import (
	"reflect"

	"github.com/valyala/fasthttp"
)

// Copy returns a server with fs's settings, and none of its state.
func Copy(fs *fasthttp.Server) *fasthttp.Server {
	c := &fasthttp.Server{}
	from, to := reflect.ValueOf(fs).Elem(), reflect.ValueOf(c).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	if c.TLSConfig != nil {
		c.TLSConfig = c.TLSConfig.Clone()
	}
	return c
}
