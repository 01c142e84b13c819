import type { Signer } from '../keys/index.ts'
import { type NodeSignerOptions, signerNamed } from './node-signer.ts'
import { readSecretFileSync } from './secret-file.ts'

/** How a key file is read, and how its key is used. */
export interface SignerFromFileOptions extends NodeSignerOptions {
  /** `private`, the default, refuses a file that others than its owner can read; `any` does not look. */
  readonly permissions?: 'private' | 'any' | undefined
}

/** Room for a chain of certificates before the key, and no more. */
const MAX_BYTES = 64 * 1024

/**
 * Makes a `Signer` from a key file in PEM, which is read now and once: a wrong file is refused where the program starts.
 *
 * @throws ConfigurationError when the file cannot be read, and with code `key_invalid` when it has no key that can sign with the
 * algorithm; it names the file and never shows what is in it.
 */
export function signerFromFile(path: string, options: SignerFromFileOptions = {}): Signer {
  const subject = `signerFromFile: ${path}`
  const { permissions = 'private', ...signerOptions } = options
  const pem = readSecretFileSync(path, { subject: 'signerFromFile', maxBytes: MAX_BYTES, permissions })
  return signerNamed(subject, pem, signerOptions)
}
