import { type PrivateKey, readUnverifiedJwt, type Signer, signerFrom } from '../../keys/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import { type Awaitable, waitFor } from '../../util/index.ts'
import type { ClientAttester } from './attestation.ts'

/** One instance of a client as one server sees it: its key, its attestation, the server's last challenge. */
export interface ClientInstance {
  challenge: string | undefined
  signer(signal: AbortSignal | undefined): Promise<Signer>
  /** An attestation that is good for a while yet. */
  attestation(wallTime: number, signal: AbortSignal | undefined): Promise<string>
  /** The next attestation is a new one. */
  renew(): void
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

interface HeldAttestation {
  readonly text: string
  readonly renewAt: number
}

/** Makes the state of one instance. All its requests have one key. */
export function createClientInstance({ attester, keyFor, clientId, issuer }: ClientInstanceOptions): ClientInstance {
  let key: Promise<Signer> | undefined
  let held: HeldAttestation | undefined

  async function signer(signal: AbortSignal | undefined): Promise<Signer> {
    key ??= (async () => signerFrom(await keyFor(issuer)))()
    const mine = key
    try {
      return await waitFor(mine, signal)
    } catch (error) {
      // A key that could not be made, or not in time, is made again by the next request.
      if (key === mine) key = undefined
      throw error
    }
  }

  return {
    challenge: undefined,
    signer,
    async attestation(wallTime, signal) {
      if (held !== undefined && wallTime < held.renewAt) return held.text
      const { publicJwk } = await signer(signal)
      const text: unknown = await attester({ clientId, issuer, publicJwk, signal })
      held = { text: checked(text), renewAt: expiryOf(String(text)) - MARGIN_MS }
      return held.text
    },
    renew() {
      held = undefined
    },
  }
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
