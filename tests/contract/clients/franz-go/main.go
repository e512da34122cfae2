// Produces requests with every codec: plain, and in committed and aborted transactions.
// Arguments: bootstrap servers, topic.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func main() {
	for codec, compression := range codecs {
		for _, mode := range []string{"plain", "committed", "aborted"} {
			if err := produce(codec, compression, mode); err != nil {
				log.Fatal(codec, " ", mode, ": ", err)
			}
		}
	}
}

func produce(codec string, compression kgo.CompressionCodec, mode string) error {
	ctx, topic := context.Background(), os.Args[2]
	options := []kgo.Opt{kgo.SeedBrokers(os.Args[1]), kgo.ProducerBatchCompression(compression)}
	if mode != "plain" {
		options = append(options, kgo.TransactionalID(fmt.Sprintf("%s-%s-%s", topic, codec, mode)))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	if mode != "plain" {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
	}
	for n := range 2 {
		value := fmt.Sprintf(`{"request_id": "%s-%s-%d", "messages": [{"role": "user", "content": "Hello?"}]}`, codec, mode, n)
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
	}
	if mode == "plain" {
		return nil
	}
	return client.EndTransaction(ctx, kgo.TransactionEndTry(mode == "committed"))
}
