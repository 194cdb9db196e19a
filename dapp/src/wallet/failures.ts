/** Failures of our own making, so that words for them can be found by their type. */

export class WrongChain extends Error {
  constructor(readonly expected: bigint, readonly actual: bigint) {
    super(`chain ${actual} instead of ${expected}`);
  }
}

export class NoWallet extends Error {}

export class TooFewTokens extends Error {
  constructor(readonly what: string, readonly needed: bigint, readonly balance: bigint) {
    super(`${what} needs more tokens`);
  }
}

/** A contract's refusal, decoded. */
export class Refused extends Error {
  constructor(readonly error: string, readonly args: readonly unknown[], readonly words: string) {
    super(words);
  }
}

/** The transaction is in a block and failed there. */
export class Reverted extends Error {
  constructor(readonly hash: string) {
    super('the transaction failed on chain');
  }
}

/** Sent, but in no block yet. It may still be: nothing is to be sent twice. */
export class NotMined extends Error {
  constructor(readonly hash: string) {
    super('the transaction is in no block yet');
  }
}
