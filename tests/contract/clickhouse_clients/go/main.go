// Runs the statements of standard input through clickhouse-go and prints what each returned as a line of JSON.
//
// A statement ends with a NUL character. "batch TABLE" inserts rows as a batch, and "echo TEXT" binds a parameter. One
// connection serves them all; a statement that is refused prints its code.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

type answer struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	Code    int32    `json:"code,omitempty"`
	Message string   `json:"message,omitempty"`
}

func main() {
	options, err := clickhouse.ParseDSN(os.Args[1])
	must(err)
	connection, err := clickhouse.Open(options)
	must(err)
	defer connection.Close()
	must(connection.Ping(context.Background()))
	input, err := io.ReadAll(os.Stdin)
	must(err)
	output := json.NewEncoder(os.Stdout)
	for _, statement := range strings.Split(strings.TrimSuffix(string(input), "\x00"), "\x00") {
		found, err := run(connection, statement)
		var refused *clickhouse.Exception
		if errors.As(err, &refused) {
			found = answer{Code: refused.Code, Message: refused.Message}
		} else {
			must(err)
		}
		must(output.Encode(found))
	}
}

func run(connection driver.Conn, statement string) (answer, error) {
	if table, ok := strings.CutPrefix(statement, "batch "); ok {
		return answer{}, insert(connection, table)
	}
	if text, ok := strings.CutPrefix(statement, "echo "); ok {
		return query(connection, "SELECT {text:String} AS text", clickhouse.Named("text", text))
	}
	return query(connection, statement)
}

func query(connection driver.Conn, statement string, parameters ...any) (answer, error) {
	rows, err := connection.Query(context.Background(), statement, parameters...)
	if err != nil {
		return answer{}, err
	}
	defer rows.Close()
	found := answer{Columns: rows.Columns()}
	for rows.Next() {
		places := make([]any, len(rows.ColumnTypes()))
		for i, column := range rows.ColumnTypes() {
			places[i] = reflect.New(column.ScanType()).Interface()
		}
		if err := rows.Scan(places...); err != nil {
			return answer{}, err
		}
		row := make([]any, len(places))
		for i, place := range places {
			row[i] = plain(reflect.ValueOf(place).Elem(), rows.ColumnTypes()[i].DatabaseTypeName() == "Date")
		}
		found.Rows = append(found.Rows, row)
	}
	return found, rows.Err()
}

func insert(connection driver.Conn, table string) error {
	batch, err := connection.PrepareBatch(context.Background(), "INSERT INTO "+table)
	if err != nil {
		return err
	}
	note := "note"
	for _, row := range [][]any{
		{
			uint64(1), decimal.RequireFromString("0.000000000001"),
			time.Date(2026, 3, 31, 23, 59, 58, 123456000, time.UTC), "a'b\"c`\\ \t\n ü 漢字 🚀", (*string)(nil),
			[]string{"T1", "T2 ü"}, map[string]string{"team": "a'b"},
		},
		{
			uint64(2), decimal.RequireFromString("-99999999999999999999999999.999999999999"),
			time.Unix(0, 0).UTC(), "", &note, []string{}, map[string]string{},
		},
	} {
		if err := batch.Append(row...); err != nil {
			return err
		}
	}
	return batch.Send()
}

// plain writes a value so that JSON keeps all of it: moments as microseconds, decimals without trailing zeros.
func plain(value reflect.Value, isDay bool) any {
	switch found := value.Interface().(type) {
	case time.Time:
		if isDay {
			return found.Format(time.DateOnly)
		}
		return found.UnixMicro()
	case decimal.Decimal:
		return found.String()
	case uuid.UUID:
		return found.String()
	case big.Int:
		return json.Number(found.String())
	case float64:
		if math.IsNaN(found) {
			return "nan"
		}
		return found
	}
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if value.IsNil() {
			return nil
		}
		return plain(value.Elem(), isDay)
	case reflect.Slice:
		items := make([]any, value.Len())
		for i := range items {
			items[i] = plain(value.Index(i), isDay)
		}
		return items
	case reflect.Map:
		entries := map[string]any{}
		for _, key := range value.MapKeys() {
			entries[fmt.Sprint(key)] = plain(value.MapIndex(key), isDay)
		}
		return entries
	}
	return value.Interface()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
