import { ConfigurationError } from '../../token/index.ts'
import { base64, describe, type Resolvable, resolve } from '../../util/index.ts'
import type { ClientAuthentication } from './client-authentication.ts'

/** How `clientSecretBasic` writes id and secret. */
export interface ClientSecretBasicOptions {
  /** Join id and secret as they are, for servers that do not decode. Default: false, form-urlencoded. */
  readonly raw?: boolean | undefined
}

/**
 * `client_secret_basic`: client id and secret in the `Authorization` header (RFC 6749 section 2.3.1).
 *
 * Both are form-urlencoded as browsers do it, so that letters, digits and `*-._` stay as they are.
 *
 * @throws ConfigurationError with code `secret_invalid` when the secret is empty or not a string.
 */
export function clientSecretBasic(
  secret: Resolvable<string>,
  { raw = false }: ClientSecretBasicOptions = {},
): ClientAuthentication {
  const read = secretReader('clientSecretBasic', secret)
  const encode = raw ? (text: string) => text : formUrlEncode
  return {
    method: 'client_secret_basic',
    async apply({ headers }, { clientId }) {
      headers.set('authorization', `Basic ${base64(`${encode(clientId)}:${encode(await read())}`)}`)
    },
  }
}

/**
 * `client_secret_post`: client id and secret in the request body (RFC 6749 section 2.3.1).
 *
 * @throws ConfigurationError with code `secret_invalid` when the secret is empty or not a string.
 */
export function clientSecretPost(secret: Resolvable<string>): ClientAuthentication {
  const read = secretReader('clientSecretPost', secret)
  return {
    method: 'client_secret_post',
    async apply({ body }, { clientId }) {
      body.set('client_id', clientId)
      body.set('client_secret', await read())
    },
  }
}

/** `none`: a public client names itself and proves nothing (RFC 6749 section 2.1, RFC 7591 section 2). */
export function none(): ClientAuthentication {
  return {
    method: 'none',
    apply({ body }, { clientId }) {
      body.set('client_id', clientId)
    },
  }
}

/** Checks a secret now if it is here, and again each time it is asked for. */
export function secretReader(option: string, secret: Resolvable<string>): () => Promise<string> {
  if (typeof secret !== 'function') assertSecret(option, secret)
  return async () => {
    const value: unknown = await resolve(secret)
    assertSecret(option, value)
    return value
  }
}

function assertSecret(option: string, secret: unknown): asserts secret is string {
  if (typeof secret === 'string' && secret !== '') return
  throw new ConfigurationError(`${option}: expected a secret that is a non-empty string, got ${describe(secret)}`, {
    code: 'secret_invalid',
  })
}

function formUrlEncode(text: string): string {
  return new URLSearchParams({ v: text }).toString().slice('v='.length)
}
