package rest

import "net/http"

// rawJSON is an answer that is JSON already.
type rawJSON []byte

func (j rawJSON) write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(j)
	return err
}

// VisitGetBlockProofResponse implements oas.GetBlockProofResponseObject.
func (j rawJSON) VisitGetBlockProofResponse(w http.ResponseWriter) error { return j.write(w) }

// VisitGetTemplateTransactionsResponse implements oas.GetTemplateTransactionsResponseObject.
func (j rawJSON) VisitGetTemplateTransactionsResponse(w http.ResponseWriter) error { return j.write(w) }
