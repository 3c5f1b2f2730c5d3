"""The YAML files of a repository that are not lossreg's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What lossreg reads, and finds no objective in.
READ = {
    ".github/workflows/test.yaml": (
        "on: [push]\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps: [{run: make test}]\n"
    ),
    "docker-compose.yml": (
        "services:\n  db:\n    image: postgres\n    ports: ['5432:5432']\n    x: {8080: 80}\n"
    ),
    "mkdocs.yml": (
        "site_name: Site\nmarkdown_extensions:\n  - pymdownx.emoji:\n"
        "      emoji_index: !!python/name:material.extensions.emoji.twemoji\n"
    ),
    "stack.yaml": "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    Name: !Ref BucketName\n",
    "group_vars/all.yml": (
        "name: db\npassword: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6238643\n"
    ),
    "conf/optimizer/adam.yaml": "# @package _global_\noptimizer: {name: adam, lr: '${lr}'}\n",
    "conf/config.yaml": "defaults: [{optimizer: adam}, _self_]\nlr: 0.1\n",
    "twice.yaml": "a: 1\na: 2\n",
    "empty.yaml": "# nothing\n",
    "list.yaml": "- a\n- b\n",
    "metrics.yaml": "loss: 0.25\naccuracy: 0.9\n",
    "words.yaml": "loss: mse\nepochs: 3\n",
}
# What lossreg does not read, with the code that says why.
UNREAD = {
    "k8s.yaml": ("kind: Service\n---\nkind: Deployment\n", "LR005"),
    "chart/templates/job.yaml": ("{{- if .Values.job }}\nkind: Job\n{{- end }}\n", "LR007"),
    "chart/templates/name.yaml": ("metadata:\n  name: {{ .Values.name }}\n", "LR007"),
    "broken.yaml": ("a: [1, 2\nb: 3\n", "LR003"),
    "tab.yaml": ("a:\n\tb: 1\n", "LR010"),
    "large.yaml": ("a: " + "x" * 2**20 + "\n", "LR004"),
    "deep.yaml": ("[" * 70 + "]" * 70 + "\n", "LR004"),
    "latin.yaml": ("name: Größe\n", "LR002"),
}


def write_foreign(folder: Path) -> list[str]:
    """Write the files under a folder; the paths of all, relative to it."""
    texts = {**READ, **{name: text for name, (text, _) in UNREAD.items()}}
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("latin-1" if name == "latin.yaml" else "utf-8"))
    return list(texts)
