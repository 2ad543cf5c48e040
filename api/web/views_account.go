package web

import (
	"context"

	"github.com/gbtpool/gbtpool/api/oas"
)

func (v views) accounts(ctx context.Context, at cursor) (oas.AccountPage, error) {
	answer, err := v.api.ListAccounts(ctx, oas.ListAccountsRequestObject{Params: oas.ListAccountsParams{Cursor: at.from, Limit: at.limit}})
	switch a := answer.(type) {
	case oas.ListAccounts200JSONResponse:
		return oas.AccountPage(a), err
	case oas.ListAccountsdefaultApplicationProblemPlusJSONResponse:
		return oas.AccountPage{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.AccountPage{}, unexpected("ListAccounts", answer, err)
}

func (v views) account(ctx context.Context, address string) (oas.Account, error) {
	answer, err := v.api.GetAccount(ctx, oas.GetAccountRequestObject{Address: address})
	switch a := answer.(type) {
	case oas.GetAccount200JSONResponse:
		return oas.Account(a), err
	case oas.GetAccountdefaultApplicationProblemPlusJSONResponse:
		return oas.Account{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Account{}, unexpected("GetAccount", answer, err)
}

func (v views) accountHistory(ctx context.Context, address string, span oas.Span, worker *string) (oas.Series, error) {
	answer, err := v.api.GetAccountHistory(ctx, oas.GetAccountHistoryRequestObject{Address: address, Params: oas.GetAccountHistoryParams{Span: &span, Worker: worker}})
	switch a := answer.(type) {
	case oas.GetAccountHistory200JSONResponse:
		return oas.Series(a), err
	case oas.GetAccountHistorydefaultApplicationProblemPlusJSONResponse:
		return oas.Series{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.Series{}, unexpected("GetAccountHistory", answer, err)
}

func (v views) workers(ctx context.Context, address string, at cursor) (oas.WorkerPage, error) {
	answer, err := v.api.ListWorkers(ctx, oas.ListWorkersRequestObject{Address: address, Params: oas.ListWorkersParams{Cursor: at.from, Limit: at.limit}})
	switch a := answer.(type) {
	case oas.ListWorkers200JSONResponse:
		return oas.WorkerPage(a), err
	case oas.ListWorkersdefaultApplicationProblemPlusJSONResponse:
		return oas.WorkerPage{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.WorkerPage{}, unexpected("ListWorkers", answer, err)
}

func (v views) accountPayouts(ctx context.Context, address string, at cursor) (oas.AccountPayoutPage, error) {
	answer, err := v.api.ListAccountPayouts(ctx, oas.ListAccountPayoutsRequestObject{Address: address, Params: oas.ListAccountPayoutsParams{Cursor: at.from, Limit: at.limit}})
	switch a := answer.(type) {
	case oas.ListAccountPayouts200JSONResponse:
		return oas.AccountPayoutPage(a), err
	case oas.ListAccountPayoutsdefaultApplicationProblemPlusJSONResponse:
		return oas.AccountPayoutPage{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.AccountPayoutPage{}, unexpected("ListAccountPayouts", answer, err)
}

func (v views) settings(ctx context.Context, address string) (oas.AccountSettings, error) {
	answer, err := v.api.GetAccountSettings(ctx, oas.GetAccountSettingsRequestObject{Address: address})
	switch a := answer.(type) {
	case oas.GetAccountSettings200JSONResponse:
		return oas.AccountSettings(a), err
	case oas.GetAccountSettingsdefaultApplicationProblemPlusJSONResponse:
		return oas.AccountSettings{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.AccountSettings{}, unexpected("GetAccountSettings", answer, err)
}

func (v views) setSettings(ctx context.Context, address string, s oas.AccountSettings) (oas.AccountSettings, error) {
	answer, err := v.api.SetAccountSettings(ctx, oas.SetAccountSettingsRequestObject{Address: address, Body: &s})
	switch a := answer.(type) {
	case oas.SetAccountSettings200JSONResponse:
		return oas.AccountSettings(a), err
	case oas.SetAccountSettingsdefaultApplicationProblemPlusJSONResponse:
		return oas.AccountSettings{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.AccountSettings{}, unexpected("SetAccountSettings", answer, err)
}

func (v views) challenge(ctx context.Context, address string) (oas.LoginChallenge, error) {
	answer, err := v.api.Login(ctx, oas.LoginRequestObject{Body: &oas.LoginRequest{Address: address}})
	switch a := answer.(type) {
	case oas.Login200JSONResponse:
		return oas.LoginChallenge(a), err
	case oas.LogindefaultApplicationProblemPlusJSONResponse:
		return oas.LoginChallenge{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.LoginChallenge{}, unexpected("Login", answer, err)
}

func (v views) answer(ctx context.Context, challenge, signature string) (oas.LoginToken, error) {
	answer, err := v.api.AnswerLogin(ctx, oas.AnswerLoginRequestObject{Challenge: challenge, Body: &oas.LoginAnswer{Signature: signature}})
	switch a := answer.(type) {
	case oas.AnswerLogin200JSONResponse:
		return oas.LoginToken(a), err
	case oas.AnswerLogindefaultApplicationProblemPlusJSONResponse:
		return oas.LoginToken{}, refused(a.StatusCode, a.Body, err)
	}
	return oas.LoginToken{}, unexpected("AnswerLogin", answer, err)
}
