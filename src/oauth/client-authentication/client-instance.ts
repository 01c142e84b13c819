import { type PrivateKey, readUnverifiedJwt, type Signer, signerFrom } from '../../keys/index.ts'
import { ConfigurationError, TransportError } from '../../token/index.ts'
import { type Awaitable, type Clock, waitFor, withDeadline } from '../../util/index.ts'
import type { ClientAttester } from './attestation.ts'

/** One instance of a client as one server sees it: its key, its attestation, the server's last challenge. */
export interface ClientInstance {
  challenge: string | undefined
  /** An attestation that is good for a while yet, and the key that it speaks of. */
  attested(clock: Clock, signal: AbortSignal | undefined): Promise<AttestedKey>
  /** The next attestation is a new one. */
  renew(): void
}

/** An attestation, and what signs the proofs beside it. */
export interface AttestedKey {
  readonly attestation: string
  readonly signer: Signer
}

/** What an instance is made of. */
export interface ClientInstanceOptions {
  readonly attester: ClientAttester
  readonly keyFor: (issuer: string) => Awaitable<PrivateKey>
  readonly clientId: string
  readonly issuer: string
}

/** An attestation that lives no longer than this might be dead when it arrives. */
const MARGIN_MS = 30_000
/** How long key and attester may take together. */
const DEADLINE_MS = 10_000

interface HeldAttestation extends AttestedKey {
  readonly renewAt: number
}

/** Makes the state of one instance. Requests that overlap share one question to the attester; all have one key. */
export function createClientInstance(options: ClientInstanceOptions): ClientInstance {
  const { attester, keyFor, clientId, issuer } = options
  let key: Signer | undefined
  let held: HeldAttestation | undefined
  let flight: Promise<HeldAttestation> | undefined

  async function attest(signal: AbortSignal): Promise<HeldAttestation> {
    const signer = key ?? (await signerFrom(await keyFor(issuer)))
    key = signer
    const text: unknown = await attester({ clientId, issuer, publicJwk: signer.publicJwk, signal })
    return { signer, attestation: checked(text), renewAt: expiryOf(String(text)) - MARGIN_MS }
  }

  function start(clock: Clock): Promise<HeldAttestation> {
    const mine = withDeadline(attest, { clock, ms: DEADLINE_MS, error: late }).finally(() => {
      if (flight === mine) flight = undefined
    })
    flight = mine
    return mine
  }

  return {
    challenge: undefined,
    async attested(clock, signal) {
      if (held !== undefined && clock.wallTime() < held.renewAt) return held
      // No await between the look and the claim. One caller's abort ends that caller's waiting, and nobody else's.
      held = await waitFor(flight ?? start(clock), signal)
      return held
    },
    renew() {
      held = undefined
    },
  }
}

function late(): Error {
  return new TransportError(`attestJwtClientAuth: expected an attestation within ${DEADLINE_MS} ms, got none`, {
    code: 'attestation_timeout',
    retryable: true,
  })
}

function checked(text: unknown): string {
  if (typeof text === 'string' && readUnverifiedJwt(text) !== undefined) return text
  throw new ConfigurationError('attestJwtClientAuth: expected the attester to give a JWT, got something else', {
    code: 'attestation_invalid',
  })
}

/** `exp` of the attestation in milliseconds; an attestation without one is used once. */
function expiryOf(text: string): number {
  const exp = readUnverifiedJwt(text)?.claims.exp
  return typeof exp === 'number' ? exp * 1000 : 0
}
