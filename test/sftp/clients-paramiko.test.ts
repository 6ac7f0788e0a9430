import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClients, PYTHON, run } from './clients.js';
import { type SftpStage, scratch, setSftpStage } from './harness.js';

let stage: SftpStage;

beforeAll(async () => {
  stage = await setSftpStage();
});

afterAll(() => stage.close());

/** The example of the API document, word by word but for where, as whom and with what. */
const DOCUMENTED = `
import paramiko

# Get server ID and JWT token
server_id = "server123"
jwt_token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..."

# Connect
transport = paramiko.Transport(('localhost', 2022))
transport.connect(username=server_id, password=jwt_token)
sftp = paramiko.SFTPClient.from_transport(transport)

# List files
files = sftp.listdir('/')
for file in files:
    print(file)

# Upload file
sftp.put('local_file.txt', '/remote_file.txt')

# Download file
sftp.get('/server.properties', 'local_server.properties')

sftp.close()
transport.close()
`;

/** Between the connecting and the closing of the example. */
const withSession = (body: string) => DOCUMENTED.replace(/# List files[\s\S]*?(?=\nsftp\.close)/, () => body);

async function setUp() {
  const server = await stage.makeServer();
  const local = scratch();
  async function python(program: string) {
    const filled = program
      .replace('2022', String(stage.port))
      .replace('server123', server.id)
      .replace(/eyJ[^"]*/, stage.owner.token);
    const finished = await run(PYTHON, ['-'], { directory: local, input: filled });
    expect(finished, finished.stderr).toMatchObject({ code: 0, stderr: '' });
    return finished.stdout;
  }
  return {
    local,
    python,
    inside: (...names: string[]) => path.join(server.directory, ...names),
  };
}

describeClients(['paramiko'], () => {
  test('the example of the API document works as it stands', async () => {
    const { python, inside, local } = await setUp();
    writeFileSync(inside('server.properties'), 'motd=hello\n');
    mkdirSync(inside('world'));
    writeFileSync(path.join(local, 'local_file.txt'), 'of the user');
    expect((await python(DOCUMENTED)).split('\n').sort()).toEqual(['', 'server.properties', 'world']);
    expect(readFileSync(inside('remote_file.txt'), 'utf8')).toBe('of the user');
    expect(readFileSync(path.join(local, 'local_server.properties'), 'utf8')).toBe('motd=hello\n');
  });

  test('transfers are confirmed, and attributes are what was put', async () => {
    const { python, inside, local } = await setUp();
    const content = randomBytes(3_000_001);
    writeFileSync(path.join(local, 'large'), content);
    const printed = await python(
      withSession(`
put = sftp.put('large', 'large', confirm=True)
print(put.st_size)
for entry in sftp.listdir_attr('.'):
    print(entry.filename, entry.st_size, oct(entry.st_mode), entry.longname[:10])
sftp.chmod('large', 0o600)
sftp.utime('large', (1000000000, 1000000000))
print(oct(sftp.stat('large').st_mode), sftp.lstat('large').st_mtime)
sftp.chown('large', 0, 0)
sftp.truncate('large', 2000000)
sftp.get('large', 'back', prefetch=True)
sftp.mkdir('d')
sftp.chdir('d')
print(sftp.getcwd(), sftp.normalize('.'), sftp.normalize('../..'))
sftp.rename('/large', 'moved')
sftp.symlink('moved', 'link')
print(sftp.readlink('link'), sftp.stat('link').st_size, oct(sftp.lstat('link').st_mode)[:4])
sftp.remove('link')
print(sftp.listdir())
sftp.remove('moved')
sftp.rmdir('/d')
print(sftp.listdir('/'))
`),
    );
    expect(printed.split('\n')).toEqual([
      '3000001',
      'large 3000001 0o100644 -rw-r--r--',
      '0o100600 1000000000',
      '/d /d /',
      'moved 2000000 0o12',
      "['moved']",
      '[]',
      '',
    ]);
    expect(readFileSync(path.join(local, 'back')).equals(content.subarray(0, 2_000_000))).toBe(true);
    expect(existsSync(inside('d'))).toBe(false);
  });

  test('files are opened in every mode of Python, and places in them are found', async () => {
    const { python, inside } = await setUp();
    const printed = await python(
      withSession(`
with sftp.open('file', 'w') as file: file.write('0123456789')
with sftp.open('file', 'a') as file: file.write('appended')
with sftp.open('file', 'r+') as file:
    file.seek(3)
    file.write('xyz')
    file.seek(-2, file.SEEK_END)
    print(file.read(), file.tell())
    file.seek(1)
    print(file.read(4))
    file.seek(5_000_000)
    file.write('far')
    file.flush()
    print(file.stat().st_size)
with sftp.open('file', 'rb') as file:
    print(file.readv([(0, 4), (5_000_000, 3), (10, 8)]).__next__())
    file.seek(4_999_999)
    print(file.read())
with sftp.open('lines', 'w', bufsize=10) as file: file.writelines(['one\\n', 'two\\n', 'three\\n'])
print([line.strip() for line in sftp.open('lines')])
with sftp.open('lines', 'a+') as file:
    file.write('four\\n')
    file.seek(4)
    print(file.readline())
with sftp.open('new', 'wx') as file: file.write('mine')
for mode, name in [('wx', 'new'), ('r', 'nothing'), ('r+', 'nothing')]:
    try: sftp.open(name, mode)
    except FileNotFoundError as error: print(mode, 'not found')
    except IOError as error: print(mode, 'already' in str(error))
with sftp.open('file', 'w') as file: pass
file = sftp.open('piped', 'wb')
file.set_pipelined(True)
for number in range(3000): file.write(b'%999d\\n' % number)
file.close()
with sftp.open('piped') as file:
    file.prefetch()
    print(sum(int(line) for line in file))
`),
    );
    expect(printed.split('\n')).toEqual([
      "b'ed' 18",
      "b'12xy'",
      '5000003',
      "b'012x'",
      "b'\\x00far'",
      "['one', 'two', 'three']",
      'two',
      '',
      'wx True',
      'r not found',
      'r+ not found',
      '4498500',
      '',
    ]);
    expect(statSync(inside('file')).size).toBe(0);
    expect(readFileSync(inside('lines'), 'utf8')).toBe('one\ntwo\nthree\nfour\n');
    expect(statSync(inside('piped')).size).toBe(3_000_000);
  });
});
