// Reads statements as a JSON list from standard input, runs them one after the other and prints what each returned.
//
// One connection serves them all. A statement that is refused prints its code and message.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

type statement struct {
	SQL        string         `json:"sql"`
	Parameters map[string]any `json:"parameters"`
	// Rows to insert as one batch; SQL is the INSERT then.
	Batch [][]any `json:"batch"`
}

type reply struct {
	Columns []string `json:"columns,omitempty"`
	Rows    [][]any  `json:"rows,omitempty"`
	Code    int32    `json:"code,omitempty"`
	Message string   `json:"message,omitempty"`
}

func main() {
	var statements []statement
	must(json.NewDecoder(os.Stdin).Decode(&statements))
	options, err := clickhouse.ParseDSN(os.Args[1])
	must(err)
	connection, err := clickhouse.Open(options)
	must(err)
	defer connection.Close()
	must(connection.Ping(context.Background()))
	output := json.NewEncoder(os.Stdout)
	for _, each := range statements {
		answer, err := run(connection, each)
		var refused *clickhouse.Exception
		if errors.As(err, &refused) {
			answer = reply{Code: refused.Code, Message: refused.Message}
		} else {
			must(err)
		}
		must(output.Encode(answer))
	}
}

func run(connection driver.Conn, each statement) (reply, error) {
	ctx := context.Background()
	if each.Batch != nil {
		return reply{}, insert(ctx, connection, each)
	}
	var named []any
	for name, value := range each.Parameters {
		named = append(named, clickhouse.Named(name, value))
	}
	rows, err := connection.Query(ctx, each.SQL, named...)
	if err != nil {
		return reply{}, err
	}
	defer rows.Close()
	answer := reply{Columns: rows.Columns()}
	for rows.Next() {
		places := make([]any, len(rows.ColumnTypes()))
		for i, column := range rows.ColumnTypes() {
			places[i] = reflect.New(column.ScanType()).Interface()
		}
		if err := rows.Scan(places...); err != nil {
			return reply{}, err
		}
		row := make([]any, len(places))
		for i, place := range places {
			isDay := strings.HasPrefix(strings.TrimPrefix(rows.ColumnTypes()[i].DatabaseTypeName(), "Nullable("), "Date") &&
				!strings.Contains(rows.ColumnTypes()[i].DatabaseTypeName(), "DateTime")
			row[i] = plain(reflect.ValueOf(place).Elem(), isDay)
		}
		answer.Rows = append(answer.Rows, row)
	}
	return answer, rows.Err()
}

func insert(ctx context.Context, connection driver.Conn, each statement) error {
	batch, err := connection.PrepareBatch(ctx, each.SQL)
	if err != nil {
		return err
	}
	for _, row := range each.Batch {
		if err := batch.Append(typed(row)...); err != nil {
			return err
		}
	}
	return batch.Send()
}

// typed turns what JSON has no type for, written as {"type": text}, into the type that the client takes.
func typed(row []any) []any {
	values := make([]any, len(row))
	for i, value := range row {
		values[i] = value
		tagged, ok := value.(map[string]any)
		if !ok {
			continue
		}
		for name, inner := range tagged {
			switch name {
			case "decimal":
				values[i] = decimal.RequireFromString(inner.(string))
			case "time":
				values[i] = time.UnixMicro(int64(inner.(float64))).UTC()
			case "uint64":
				values[i] = uint64(inner.(float64))
			case "strings":
				list := []string{}
				for _, text := range inner.([]any) {
					list = append(list, text.(string))
				}
				values[i] = list
			case "map":
				entries := map[string]string{}
				for key, text := range inner.(map[string]any) {
					entries[key] = text.(string)
				}
				values[i] = entries
			}
		}
	}
	return values
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
