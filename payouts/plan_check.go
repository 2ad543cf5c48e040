package payouts

import (
	"errors"
	"fmt"
)

// Check returns an error that matches ErrPlan unless the plan is sound: amounts and scripts are in range,
// nothing is in it twice, debits are outputs and fees to the satoshi, inputs are outputs, change and fee,
// and the transaction is one that nodes relay, at the fee rate that the plan names.
func (p *Plan) Check() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("%w: settlement %d: %w", ErrPlan, p.ID, err)
	}
	return nil
}

func (p *Plan) check() error {
	switch {
	case p.ID == 0 || p.Height < 0:
		return fmt.Errorf("number %d at height %d", p.ID, p.Height)
	case len(p.Payees) == 0:
		return errors.New("it pays nobody")
	case p.Bearer != BearerPool && p.Bearer != BearerPayees:
		return fmt.Errorf("%q bears its fee", p.Bearer)
	case p.FeeRate < 1 || p.FeeRate > MaxFeeRate:
		return fmt.Errorf("a fee rate of %d sat per 1000 vB", p.FeeRate)
	}
	if err := checkPayees(p.Payees); err != nil {
		return err
	}
	out, borne, debits := int64(0), int64(0), 0
	for i := range p.Payees {
		payee := &p.Payees[i]
		if dust := Dust(payee.Script); payee.Output < dust {
			return fmt.Errorf("%x gets %d sat, less than dust, which is %d sat", payee.Script, payee.Output, dust)
		}
		out, borne, debits = addUpTo(out, payee.Output), addUpTo(borne, payee.Fee), debits+len(payee.Debits)
	}
	switch {
	case debits > maxDebits:
		return fmt.Errorf("it debits %d accounts, at most %d fit a record", debits, maxDebits)
	case p.Bearer == BearerPool && borne != 0:
		return fmt.Errorf("payees bear %d sat of a fee that is the pool's", borne)
	case borne > p.Fee:
		return fmt.Errorf("payees bear %d sat of a fee of %d sat", borne, p.Fee)
	}
	fee, err := checkInputs(p.Inputs, p.Change, out)
	if err != nil {
		return err
	}
	if fee != p.Fee {
		return fmt.Errorf("inputs are %d sat more than outputs, its fee is %d sat", fee, p.Fee)
	}
	s, err := sizeOf(p.Payees, p.Inputs, p.Change)
	if err != nil {
		return err
	}
	return checkFee(s, p.FeeRate, fee)
}

// checkPayees checks that payees are ones that can be paid, with debits that are what they are paid, and
// that no script and no account is in them twice.
func checkPayees(payees []Payee) error {
	scripts, accounts := make(map[string]bool, len(payees)), make(map[string]bool, len(payees))
	for i := range payees {
		p := &payees[i]
		switch {
		case !Payable(p.Script):
			return fmt.Errorf("nothing is paid to script %x", p.Script)
		case scripts[string(p.Script)]:
			return fmt.Errorf("%x is paid twice", p.Script)
		case p.Output <= 0 || p.Output > MaxMoney || p.Fee < 0 || p.Fee > MaxMoney:
			return fmt.Errorf("%x gets %d sat and bears %d sat: %w", p.Script, p.Output, p.Fee, ErrAmount)
		case len(p.Debits) > maxDebits:
			return fmt.Errorf("%x is paid from %d accounts, at most %d fit a record", p.Script, len(p.Debits), maxDebits)
		}
		scripts[string(p.Script)] = true
		sum := int64(0)
		for _, d := range p.Debits {
			switch {
			case d.Account == "" || accounts[d.Account]:
				return fmt.Errorf("account %q is debited twice or has no name", d.Account)
			case d.Amount <= 0 || d.Amount > MaxMoney:
				return fmt.Errorf("account %s is debited %d sat: %w", d.Account, d.Amount, ErrAmount)
			}
			accounts[d.Account] = true
			sum = addUpTo(sum, d.Amount)
		}
		if sum != p.amount() {
			return fmt.Errorf("%x gets %d sat and bears %d sat, and its accounts are debited %d sat", p.Script, p.Output, p.Fee, sum)
		}
		if sum > MaxMoney {
			return fmt.Errorf("%x is paid %d sat: %w", p.Script, sum, ErrAmount)
		}
	}
	return nil
}

// checkInputs checks inputs and change, and returns what is left of them for the fee after outputs.
func checkInputs(inputs []Input, change *Change, outputs int64) (fee int64, err error) {
	in, seen := int64(0), make(map[OutPoint]bool, len(inputs))
	for i := range inputs {
		switch c := &inputs[i]; {
		case c.Value <= 0 || c.Value > MaxMoney:
			return 0, fmt.Errorf("an input of %d sat: %w", c.Value, ErrAmount)
		case seen[c.OutPoint]:
			return 0, fmt.Errorf("it spends %s:%d twice", c.OutPoint.Hash, c.OutPoint.Index)
		default:
			seen[c.OutPoint] = true
			in = addUpTo(in, c.Value)
		}
	}
	if change != nil {
		if _, ok := InputWeight(change.Script); !ok {
			return 0, fmt.Errorf("change goes to %x, want P2WPKH or P2TR", change.Script)
		}
		if dust := Dust(change.Script); change.Value < dust || change.Value > MaxMoney {
			return 0, fmt.Errorf("change of %d sat, want %d sat or more", change.Value, dust)
		}
		outputs = addUpTo(outputs, change.Value)
	}
	if in > MaxMoney || in <= outputs {
		return 0, fmt.Errorf("inputs of %d sat pay %d sat", in, outputs)
	}
	return in - outputs, nil
}

// checkFee checks that a transaction is one that nodes relay, and that its fee is what the rate asks for,
// and not more than that by a coin that was worth something.
func checkFee(s size, rate, fee int64) error {
	weight := s.weight()
	if weight > standardWeight {
		return fmt.Errorf("it weighs up to %d, nodes relay up to %d", weight, standardWeight)
	}
	// A replacement's fee may be a little above its rate, because that is rounded down.
	least := feeAt(rate, weight)
	most := least + mostExcess(rate) + virtual(weight)/1000 + 1
	if fee < least || fee > most {
		return fmt.Errorf("a fee of %d sat, %d sat per 1000 vB are %d to %d sat", fee, rate, least, most)
	}
	return nil
}
