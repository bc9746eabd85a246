import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A private key and its certificate (PEM). */
export interface KeyPair {
  key: string;
  cert: string;
}

/** Certificates for an upstream with TLS, made anew for each process. */
export interface TestCertificates {
  /** Certificate of the authority that signed `server` and `client` (PEM). */
  ca: string;
  /** For localhost, 127.0.0.1 and 127.0.0.2. */
  server: KeyPair;
  client: KeyPair;
  /** Certificate of an authority that signed nothing here. */
  otherCa: string;
  /** For the right host, but no longer valid. */
  expired: KeyPair;
  /** For the host `elsewhere.invalid` only. */
  wrongHost: KeyPair;
}

let made: TestCertificates | null = null;

/** Makes the certificates with the openssl program, once for each process; throws when it is missing. */
export function testCertificates(): TestCertificates {
  made ??= makeCertificates();
  return made;
}

function makeCertificates(): TestCertificates {
  const folder = mkdtempSync(join(tmpdir(), 'upstream-certificates-'));
  try {
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const read = (name: string) => readFileSync(join(folder, name), 'utf8');
    const authority = (name: string) => {
      newKey(openssl, name);
      openssl('req', '-x509', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-days', '3650', '-out', `${name}.crt`);
      return read(`${name}.crt`);
    };
    const signed = (name: string, names: string, validity: readonly string[] = ['-days', '3650']): KeyPair => {
      newKey(openssl, name);
      openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
      writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${names}\n`);
      const request = ['-req', '-in', `${name}.csr`, '-CA', 'authority.crt', '-CAkey', 'authority.key', '-CAcreateserial'];
      openssl('x509', ...request, '-extfile', `${name}.ext`, ...validity, '-out', `${name}.crt`);
      return { key: read(`${name}.key`), cert: read(`${name}.crt`) };
    };
    const here = 'DNS:localhost,IP:127.0.0.1,IP:127.0.0.2';
    return {
      ca: authority('authority'),
      otherCa: authority('stranger'),
      server: signed('server', here),
      client: signed('client', 'DNS:client'),
      wrongHost: signed('elsewhere', 'DNS:elsewhere.invalid'),
      expired: signed('expired', here, ['-days', '-1']),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function newKey(openssl: (...args: string[]) => Buffer, name: string): void {
  openssl('ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', `${name}.key`);
}
