package gbt

import (
	"context"
	"testing/synctest"
)

// silentSource never has news.
type silentSource struct{}

func (silentSource) Next(ctx context.Context) (News, error) {
	<-ctx.Done()
	return News{}, ctx.Err()
}

// scriptedSource brings what the test sends.
type scriptedSource chan News

func (s scriptedSource) Next(ctx context.Context) (News, error) {
	select {
	case news := <-s:
		return news, nil
	case <-ctx.Done():
		return News{}, ctx.Err()
	}
}

// send brings news and lets all that follows from it come to rest. The test is in a bubble.
func (s scriptedSource) send(news News) {
	s <- news
	synctest.Wait()
}
