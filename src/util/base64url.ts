/** RFC 4648 section 5, without padding. */
export function base64url(input: Uint8Array | string): string {
  return base64(input).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** RFC 4648 section 4. Text is encoded as UTF-8 first. */
export function base64(input: Uint8Array | string): string {
  const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary)
}
