import { createPublicKey, type KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import { chooseAlg, type JsonWebKey, jwkThumbprint, type KeyKind, publicJwkOf, type Signer } from '../keys/index.ts'
import { nodeSigner, secretFromFile } from '../node/index.ts'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import type { CommandContext } from './command.ts'
import { tell } from './messages.ts'

/** How the keys of files are read. */
export interface KeyFileOptions {
  readonly alg?: string | undefined
  readonly kid?: string | undefined
  readonly passphrase?: string | undefined
}

const PRIVATE_PEM = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/
const PEM = /-----BEGIN (?:PUBLIC KEY|RSA PUBLIC KEY|CERTIFICATE)-----/

type Key = Pick<Signer, 'publicJwk' | 'kid' | 'alg'>

/**
 * The public key of a file, as it is registered: out of a private or public key, PEM or JWK, or a certificate. Its `kid` is the one that is
 * given, else its own, else its thumbprint (RFC 7638). A private key that others can read gets a warning.
 *
 * @throws ConfigurationError with code `file_unreadable`, `file_invalid` or `key_invalid`; it names the file and never its content.
 */
export async function publicJwkFromFile(
  file: string,
  options: KeyFileOptions,
  { cwd, stderr }: Pick<CommandContext, 'cwd' | 'stderr'>,
): Promise<JsonWebKey> {
  const path = resolve(cwd, file)
  const text = await secretFromFile(path, { permissions: 'any' })()
  const { key, isPrivate } = naming(path, () => keyIn(text, options))
  if (isPrivate) await warnOfReaders(path, stderr)
  return publicJwkOf({ ...key, kid: key.kid ?? (await jwkThumbprint(key.publicJwk)) })
}

/** The passphrase in a file that its owner alone can read, without the end of its line. */
export async function passphraseIn(file: string | undefined, cwd: string): Promise<string | undefined> {
  return file === undefined ? undefined : secretFromFile(resolve(cwd, file))()
}

interface Found {
  readonly key: Key
  readonly isPrivate: boolean
}

function keyIn(text: string, options: KeyFileOptions): Found {
  if (text.trimStart().startsWith('{')) return keyInJwk(JSON.parse(text), options)
  if (PRIVATE_PEM.test(text)) return { key: nodeSigner(text, options), isPrivate: true }
  if (!PEM.test(text)) throw keyInvalid('a key as PEM or JWK, got neither')
  return { key: publicKeyFrom(createPublicKey(text), options), isPrivate: false }
}

function keyInJwk(jwk: JsonWebKey, options: KeyFileOptions): Found {
  if (jwk.kty === 'oct') throw keyInvalid('an asymmetric key, got a symmetric JWK')
  if (jwk.d !== undefined) return { key: nodeSigner(jwk, options), isPrivate: true }
  if (Array.isArray(jwk.keys)) throw keyInvalid('one JWK, got a JWK Set')
  const key = createPublicKey({ key: jwk as import('node:crypto').JsonWebKey, format: 'jwk' })
  return { key: publicKeyFrom(key, { alg: jwk.alg, kid: jwk.kid, ...given(options) }), isPrivate: false }
}

function publicKeyFrom(key: KeyObject, { alg, kid }: KeyFileOptions): Key {
  const publicJwk = key.export({ format: 'jwk' })
  const kind = (publicJwk.kty === 'RSA' ? publicJwk.kty : publicJwk.crv) as KeyKind
  return {
    publicJwk: { ...publicJwk },
    kid,
    alg: chooseAlg({ kind, rsaBits: key.asymmetricKeyDetails?.modulusLength }, alg),
  }
}

function given({ alg, kid }: KeyFileOptions): KeyFileOptions {
  return { ...(alg !== undefined && { alg }), ...(kid !== undefined && { kid }) }
}

/** Says in which file the key is that is not as it should be. */
function naming(path: string, work: () => Found): Found {
  try {
    return work()
  } catch (error) {
    // Causes are left out: they may quote the key.
    const reason = isEvertokenError(error)
      ? error.message.replace(/^[a-zA-Z]+: /, '')
      : 'expected a key, got a damaged one'
    throw new ConfigurationError(`key file "${path}": ${reason}`, { code: 'key_invalid' })
  }
}

async function warnOfReaders(path: string, stderr: CommandContext['stderr']): Promise<void> {
  try {
    await secretFromFile(path)()
  } catch (error) {
    if (isEvertokenError(error) && error.code === 'file_permissions') tell(stderr, `warning: ${error.message}`)
  }
}

function keyInvalid(expected: string): ConfigurationError {
  return new ConfigurationError(`expected ${expected}`, { code: 'key_invalid' })
}
