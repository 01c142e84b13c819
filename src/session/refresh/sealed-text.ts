import { base64url, fromBase64url } from '../../util/index.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const IV_BYTES = 12

/** Encrypts a text so that only who has the secret can read it (HKDF-SHA-256, AES-256-GCM). `purpose` is authenticated with it. */
export async function sealedText(secret: string, purpose: string, text: string): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const key = await keyFrom(secret, purpose)
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, encoder.encode(text)))
  return `${base64url(iv)}.${base64url(sealed)}`
}

/** The text again; `undefined` for one that was sealed otherwise, or altered. */
export async function openedText(secret: string, purpose: string, sealed: string): Promise<string | undefined> {
  const [iv = '', content = ''] = sealed.split('.')
  try {
    const key = await keyFrom(secret, purpose)
    const ivBytes = fromBase64url(iv) as Uint8Array<ArrayBuffer>
    const bytes = fromBase64url(content) as Uint8Array<ArrayBuffer>
    return decoder.decode(await crypto.subtle.decrypt({ name: 'AES-GCM', iv: ivBytes }, key, bytes))
  } catch {
    // Whatever is wrong with it, it is not ours.
    return undefined
  }
}

/** One key for each secret, so that no key encrypts more than a few texts. */
async function keyFrom(secret: string, purpose: string): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey('raw', encoder.encode(secret), 'HKDF', false, ['deriveKey'])
  const derivation = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: encoder.encode(purpose) }
  return crypto.subtle.deriveKey(derivation, material, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
}
