//go:build linux

// Command benchserver-pg is benchserver's application that queries PostgreSQL by
// pgx, on esca and on fasthttp's own server.
//
//	benchserver-pg -runtime=esca -upstream='host=/run/postgresql user=postgres dbname=postgres'
//
// It is a module of its own, so that pgx is a requirement of nothing else. What
// it prints, and the signals it obeys, are those of serving.Main.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/bench/internal/serving"
)

const (
	// poolSize is how many connections to PostgreSQL there are.
	poolSize = 8
	// rows is how many greetings bench has put into the table.
	rows  = 1000
	query = "select message from greetings where id = $1"
)

func main() {
	serving.Main(serving.Runtimes{
		"esca":     application(serving.Esca),
		"fasthttp": application(serving.Fasthttp),
	})
}

// application is the same handlers on either runtime.
func application(on func(*fasthttp.Server) serving.Service) func(serving.Config) (serving.Service, error) {
	return func(cfg serving.Config) (serving.Service, error) {
		if cfg.Upstream == "" {
			return nil, errors.New("where is PostgreSQL? -upstream='host=/run/postgresql user=postgres dbname=postgres'")
		}
		settings, err := pgxpool.ParseConfig(cfg.Upstream)
		if err != nil {
			return nil, fmt.Errorf("-upstream: %w", err)
		}
		settings.MaxConns = poolSize
		pool, err := pgxpool.NewWithConfig(context.Background(), settings)
		if err != nil {
			return nil, err
		}
		return on(&fasthttp.Server{Handler: handler(pool)}), nil
	}
}

// handler answers /query with what the database has, everything else with the same by itself.
func handler(pool *pgxpool.Pool) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/query" {
			ctx.SetBodyString("Hello, World!")
			return
		}
		var message string
		if err := pool.QueryRow(ctx, query, 1+rand.IntN(rows)).Scan(&message); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
			return
		}
		ctx.SetBodyString(message)
	}
}
