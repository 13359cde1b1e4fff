package control

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"kiyome/accounts"
)

// removalsLimit is how many removals are given where a request does not say.
const removalsLimit = 100

func (s *Server) removals(r *http.Request) ([]accounts.Removal, error) {
	limit, err := number(r, "limit", 1, accounts.MaxRemovalsList, removalsLimit)
	if err != nil {
		return nil, err
	}
	before, err := number(r, "before", 1, math.MaxInt64, 0)
	if err != nil {
		return nil, err
	}
	all, err := s.Accounts.Removals(r.PathValue("address"), uint64(before), int(limit))
	return append([]accounts.Removal{}, all...), err
}

// number reads a number of the query, from least to most; absent is what it is when it is not there.
func number(r *http.Request, name string, least, most, absent int64) (int64, error) {
	q := r.URL.Query()
	if !q.Has(name) {
		return absent, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%w: %s is %.40q, not a number from %d to %d", ErrRequest, name, q.Get(name), least, most)
	}
	return n, nil
}

// Removals is like (*accounts.DB).Removals.
func (c *Client) Removals(address string, before uint64, limit int) (all []accounts.Removal, err error) {
	q := url.Values{}
	if before > 0 {
		q.Set("before", strconv.FormatUint(before, 10))
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(min(limit, accounts.MaxRemovalsList)))
	}
	err = c.call(context.Background(), shortWait, "GET", account(address, "/removals?"+q.Encode()), nil, &all)
	return all, err
}
