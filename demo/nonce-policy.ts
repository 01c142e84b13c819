import { randomBytes } from 'node:crypto'

/** Which nonces a server asks for, and when it gives new ones (RFC 9449 sections 8 and 9). */
export interface NoncePolicy {
  /** Whether a proof with this nonce, or with none, may pass. */
  accepts(nonce: string | undefined): boolean
  /** The `DPoP-Nonce` of an answer, if it has one. Asked exactly once for every answer. */
  nonceFor(answer: ProofAnswer): string | undefined
}

/** The answer that a nonce may go along with. */
export interface ProofAnswer {
  readonly isAccepted: boolean
  /** The one of the request's proof, where that could be read. */
  readonly nonce: string | undefined
}

/** Nonces that somebody has changed: by hand, by the clock, by counting. */
export interface RotatingNonces extends NoncePolicy {
  readonly current: string
  /** Makes a new nonce the current one. */
  rotate(): void
}

/** Asks for no nonce. One that comes nevertheless was never issued, and counts as wrong. */
export function noNonces(): NoncePolicy {
  return { accepts: (nonce) => nonce === undefined, nonceFor: () => undefined }
}

/** Asks for one of the last nonces, the current one by default, and tells it to whoever came with another one. */
export function nonces({ accepted = 1 }: { readonly accepted?: number } = {}): RotatingNonces {
  // The newest comes first.
  const valid = [newNonce()]
  const current = (): string => valid[0] ?? ''
  return {
    get current() {
      return current()
    },
    rotate() {
      valid.unshift(newNonce())
      valid.length = Math.min(valid.length, accepted)
    },
    accepts: (nonce) => nonce !== undefined && valid.includes(nonce),
    nonceFor: ({ isAccepted, nonce }) => (isAccepted && nonce === current() ? undefined : current()),
  }
}

/** Changes nonces whenever this time has passed, and says so with the next answer. */
export function rotatedByTime(
  inner: RotatingNonces,
  { everyMs, now = Date.now }: { readonly everyMs: number; readonly now?: () => number },
): RotatingNonces {
  const startedAt = now()
  let turns = 0
  function turn(): void {
    const due = Math.floor((now() - startedAt) / everyMs)
    for (; turns < due; turns++) inner.rotate()
  }
  return {
    get current() {
      turn()
      return inner.current
    },
    rotate: () => inner.rotate(),
    accepts(nonce) {
      turn()
      return inner.accepts(nonce)
    },
    nonceFor(answer) {
      turn()
      return inner.nonceFor(answer)
    },
  }
}

/** Changes nonces with every so many requests that were accepted, and says so in the answer to the last of them. */
export function rotatedByAnswers(inner: RotatingNonces, { every }: { readonly every: number }): RotatingNonces {
  let accepted = 0
  return {
    get current() {
      return inner.current
    },
    rotate: () => inner.rotate(),
    accepts: (nonce) => inner.accepts(nonce),
    nonceFor(answer) {
      if (answer.isAccepted && ++accepted % every === 0) inner.rotate()
      return inner.nonceFor(answer)
    },
  }
}

/** Keeps new nonces to itself until a request is refused. */
export function toldInRefusals(inner: RotatingNonces): RotatingNonces {
  return {
    get current() {
      return inner.current
    },
    rotate: () => inner.rotate(),
    accepts: (nonce) => inner.accepts(nonce),
    nonceFor(answer) {
      const nonce = inner.nonceFor(answer)
      return answer.isAccepted ? undefined : nonce
    },
  }
}

function newNonce(): string {
  return randomBytes(16).toString('base64url')
}
