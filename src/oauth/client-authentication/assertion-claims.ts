import { ConfigurationError } from '../../token/index.ts'
import { randomId } from '../../util/index.ts'
import type { ClientIdentity } from './client-authentication.ts'

/** What shapes the assertions that a client makes itself. */
export interface AssertionOptions {
  /**
   * `aud` claim. Default `issuer`: the issuer identifier, which no other server accepts. `token_endpoint` is for servers that
   * know only the older rule (RFC 7523 section 3); any other text is sent as it is.
   */
  readonly audience?: 'issuer' | 'token_endpoint' | (string & {}) | undefined
  /** `typ` header. Default `client-authentication+jwt`; `JWT` or `false` (none) for servers that refuse it. */
  readonly typ?: string | false | undefined
  /** Seconds from `iat` to `exp`. Default 60, at most 300. */
  readonly lifetimeSeconds?: number | undefined
  /**
   * By how many seconds `iat` lies before the time of the clock, for servers whose clock is behind; `exp` moves with it. Default 5,
   * at most 60, and less than the lifetime.
   */
  readonly backdateSeconds?: number | undefined
}

/** Longer-lived assertions would be worth stealing. */
const MAX_LIFETIME_SECONDS = 300
/** By how much dates lie back when nothing else is said. */
export const BACKDATE_SECONDS = 5
const MAX_BACKDATE_SECONDS = 60

/** The parts of an assertion that are the same for every attempt, checked. */
export interface AssertionTemplate {
  readonly typ: string | undefined
  readonly needsIssuer: boolean
  claimsFor(alg: string, client: ClientIdentity, wallTime: number): Readonly<Record<string, unknown>>
}

/**
 * Claims of RFC 7523 section 3, with the audience rule of its successor: one string, the issuer, whatever endpoint
 * the request goes to.
 */
export function assertionTemplate(option: string, options: AssertionOptions): AssertionTemplate {
  const { audience = 'issuer', typ = 'client-authentication+jwt', lifetimeSeconds = 60 } = options
  const { backdateSeconds = Math.min(BACKDATE_SECONDS, lifetimeSeconds - 1) } = options
  if (!Number.isInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > MAX_LIFETIME_SECONDS) {
    throw invalid(`${option}: expected lifetimeSeconds to be a whole number from 1 to ${MAX_LIFETIME_SECONDS}`)
  }
  const mostBackdate = Math.min(MAX_BACKDATE_SECONDS, lifetimeSeconds - 1)
  if (!Number.isInteger(backdateSeconds) || backdateSeconds < 0 || backdateSeconds > mostBackdate) {
    throw invalid(`${option}: expected backdateSeconds to be a whole number from 0 to ${mostBackdate}`)
  }
  if (typeof audience !== 'string' || audience === '')
    throw invalid(`${option}: expected audience to be a non-empty string`)
  return {
    typ: typ === false ? undefined : typ,
    needsIssuer: audience === 'issuer',
    claimsFor(alg, client, wallTime) {
      assertAlgSupported(alg, client)
      const iat = Math.floor(wallTime / 1000) - backdateSeconds
      return {
        iss: client.clientId,
        sub: client.clientId,
        aud: audienceFor(audience, client),
        jti: randomId(),
        iat,
        exp: iat + lifetimeSeconds,
      }
    },
  }
}

/** Whether a server takes an algorithm, as far as it says. */
export function isAlgSupported(alg: string, { assertionAlgs }: ClientIdentity): boolean {
  if (assertionAlgs === undefined || assertionAlgs.includes(alg)) return true
  // Ed25519 is the newer name of what EdDSA is with such a key (RFC 9864 section 2.2).
  return alg === 'EdDSA' && assertionAlgs.includes('Ed25519')
}

/** Refuses a key whose algorithm the server says that it does not take. */
function assertAlgSupported(alg: string, client: ClientIdentity): void {
  if (isAlgSupported(alg, client)) return
  const { clientName, assertionAlgs = [] } = client
  throw new ConfigurationError(
    `client "${clientName}": expected a key for ${assertionAlgs.join(', ')} as the server asks, got one for ${alg}`,
    { code: 'alg_unsupported' },
  )
}

function audienceFor(audience: string, { clientName, issuer, tokenEndpoint }: ClientIdentity): string {
  if (audience === 'token_endpoint') return tokenEndpoint.href
  if (audience !== 'issuer') return audience
  if (issuer !== undefined) return issuer
  throw invalid(`client "${clientName}": expected an issuer or an explicit audience to address the client assertion to`)
}

function invalid(message: string): ConfigurationError {
  return new ConfigurationError(message, { code: 'assertion_options_invalid' })
}
