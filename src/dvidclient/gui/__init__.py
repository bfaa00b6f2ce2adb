"""Windows on what a server holds. Needs Qt: ``pip install 'dvidclient[gui]'``.

``dvidclient.gui.contents_browser`` is the browser of repos, versions and data instances, a program and a widget.
"""
