// Produces what stdin says to a topic: each line has a codec, a mode and values, divided by tabs.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	servers, topic := os.Args[1], os.Args[2]
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if err := produce(servers, topic, fields[0], fields[1], fields[2:]); err != nil {
			log.Fatalln(fields[0], fields[1], err)
		}
	}
}

func produce(servers, topic, codec, mode string, values []string) error {
	ctx := context.Background()
	options := []kgo.Opt{
		kgo.SeedBrokers(servers),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codecs[codec]),
	}
	if mode != "plain" {
		options = append(options, kgo.TransactionalID(fmt.Sprint(topic, ".franz-go.", codec, ".", mode)))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()

	records := make([]*kgo.Record, len(values))
	for i, value := range values {
		records[i] = kgo.StringRecord(value)
	}
	if mode == "plain" {
		return client.ProduceSync(ctx, records...).FirstErr()
	}
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	// What is aborted has to be on the broker first.
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	return client.EndTransaction(ctx, kgo.TransactionEndTry(mode == "commit"))
}
