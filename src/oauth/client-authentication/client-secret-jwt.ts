import { signJwt } from '../../keys/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import { type Resolvable, systemClock } from '../../util/index.ts'
import { type AssertionOptions, assertionTemplate } from './assertion-claims.ts'
import { addAssertion, JWT_BEARER } from './client-assertion.ts'
import type { ClientAuthentication, ClientIdentity } from './client-authentication.ts'
import { secretReader } from './client-secret.ts'
import { isDatedRefusal } from './dated-refusal.ts'

/** What shapes the assertions of `clientSecretJwt`. */
export interface ClientSecretJwtOptions extends AssertionOptions {
  /** JWS algorithm. Default `HS256`. */
  readonly alg?: 'HS256' | 'HS384' | 'HS512' | undefined
}

const HASH_BITS: Readonly<Record<string, number>> = { HS256: 256, HS384: 384, HS512: 512 }

/**
 * `client_secret_jwt`: an assertion with a message authentication code made from the client secret
 * (OpenID Connect Core section 9). The secret has at least as many bytes as the hash (RFC 7518 section 3.2).
 *
 * @throws ConfigurationError with code `secret_invalid` or `assertion_options_invalid`.
 */
export function clientSecretJwt(
  secret: Resolvable<string>,
  options: ClientSecretJwtOptions = {},
): ClientAuthentication {
  const { alg = 'HS256' } = options
  const bits = HASH_BITS[alg]
  if (bits === undefined) {
    throw new ConfigurationError('clientSecretJwt: expected alg to be HS256, HS384 or HS512', {
      code: 'assertion_options_invalid',
    })
  }
  if (typeof secret === 'string' && secret !== '') secretBytes(secret, bits)
  const read = secretReader('clientSecretJwt', secret)
  const template = assertionTemplate('clientSecretJwt', options)
  const make = async (client: ClientIdentity, wallTime: number): Promise<string> => {
    const bytes = secretBytes(await read(), bits)
    const key = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: `SHA-${bits}` }, false, ['sign'])
    const sign = async (input: Uint8Array): Promise<Uint8Array> =>
      new Uint8Array(await crypto.subtle.sign('HMAC', key, input as Uint8Array<ArrayBuffer>))
    return signJwt({ alg, sign }, { typ: template.typ, claims: template.claimsFor(alg, client, wallTime) })
  }
  return authenticationWith(make, template.needsIssuer)
}

/** With the server's time, once, where the first assertion was refused for its dates. */
function authenticationWith(
  make: (client: ClientIdentity, wallTime: number) => Promise<string>,
  needsIssuer: boolean,
  isSecond = false,
): ClientAuthentication {
  return {
    method: 'client_secret_jwt',
    needsIssuer,
    async apply({ body }, client, { clock = systemClock } = {}) {
      const value = await make(client, clock.wallTime())
      addAssertion(body, client.clientId, { type: JWT_BEARER, value })
      return {
        next: (answer) =>
          !isSecond && isDatedRefusal(answer) ? authenticationWith(make, needsIssuer, true) : undefined,
      }
    },
  }
}

function secretBytes(secret: string, bits: number): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(secret)
  const problem = secret.includes('-----BEGIN ')
    ? 'a PEM key'
    : bytes.length * 8 < bits
      ? `one of ${bytes.length}`
      : undefined
  if (problem === undefined) return bytes
  throw new ConfigurationError(`clientSecretJwt: expected a secret of at least ${bits / 8} bytes, got ${problem}`, {
    code: 'secret_invalid',
  })
}
